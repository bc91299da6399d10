"""Bundles as they are published: kept by version, put in force at every process at once, explained afterwards."""
