"""Routes that callers outside the deployment use: every one of `/api/v1`, as data."""
