"""Migrations of the database ``tenants``; run by ``tenant-manager migrate``."""
