"""Small questions on a schedule, so that no user has to find out whether a deployment is well."""
