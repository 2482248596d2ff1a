"""Routes that only arco roles call."""
