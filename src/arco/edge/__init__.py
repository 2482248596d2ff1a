"""The HTTP kit: authentication, codecs, problems, OpenAPI, health."""
