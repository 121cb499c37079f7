"""Several tenants on one server: their life, what is closed, what stays apart."""
