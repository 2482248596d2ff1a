"""Catalogs, schemas, tables, columns and their properties."""
