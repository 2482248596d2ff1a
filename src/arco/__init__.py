"""arco: serverless lakehouse infrastructure on object storage, with no database.

Importing this package is cheap (well under 50 ms) and pulls in no server dependency.
"""

__version__ = "0.1.0"
