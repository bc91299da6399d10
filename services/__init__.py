"""The services. They do not import one another: each knows the others only through penstock.contracts."""
