"""Routes that callers outside the deployment use."""
