"""Prompt templates: versioned files of messages with typed variables, named in a request and rendered in a sandbox."""
