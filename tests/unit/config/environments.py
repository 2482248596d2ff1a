"""Environments that are valid, for tests to break one thing in."""

from base64 import b64encode

KEY_B64 = b64encode(b"k" * 32).decode()

DEV_API = {
    "ARCO_ENVIRONMENT": "dev",
    "ARCO_API_PUBLIC": "false",
    "ARCO_DEBUG": "false",
    "ARCO_STORAGE_BUCKET": "gs://lake",
    "ARCO_COMPACTOR_URL": "http://compactor:8081",
    "ARCO_ORCH_COMPACTOR_URL": "http://flow-compactor:8080",
    "ARCO_JWT_SECRET": "j" * 32,
    "ARCO_TASK_TOKEN_SECRET": "t" * 32,
    "ARCO_TASK_TOKEN_ISSUER": "https://arco.example",
    "ARCO_TASK_TOKEN_AUDIENCE": "arco-tasks",
    "ARCO_TASK_TOKEN_TTL_SECS": "3600",
}

PROD_API = DEV_API | {
    "ARCO_ENVIRONMENT": "prod",
    "ARCO_JWT_ISSUER": "https://issuer.example",
    "ARCO_JWT_AUDIENCE": "arco",
    "ARCO_COMPACTOR_AUTH_MODE": "static_bearer",
    "ARCO_COMPACTOR_AUTH_STATIC_BEARER_TOKEN": "a-bearer-token-of-more-than-32-bytes",
    "ARCO_AUDIT_ACTOR_HMAC_KEY": KEY_B64,
    "ARCO_CURSOR_SECRET": KEY_B64,
}

COMPACTOR = {"ARCO_TENANT_ID": "acme", "ARCO_WORKSPACE_ID": "main", "ARCO_STORAGE_BUCKET": "gs://lake"}

DISPATCHER = COMPACTOR | {
    "ARCO_FLOW_DISPATCH_TARGET_URL": "https://workers.example/run",
    "ARCO_FLOW_CALLBACK_BASE_URL": "https://arco.example",
    "ARCO_FLOW_TASK_TOKEN_SECRET": "t" * 32,
    "ARCO_FLOW_TASK_TOKEN_ISSUER": "https://arco.example",
    "ARCO_FLOW_TASK_TOKEN_AUDIENCE": "arco-tasks",
    "ARCO_FLOW_TASK_TOKEN_TTL_SECS": "2100",
    "ARCO_FLOW_WORKER_DISPATCH_SECRET": "w" * 32,
    "ARCO_GCP_PROJECT_ID": "p",
    "ARCO_GCP_LOCATION": "l",
}
