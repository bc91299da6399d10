"""The demonstration: a plane of its own, one small story told in scenes, and a check of every claim from outside.

Each scene is a module; story.py puts them in order. What a scene says on screen it has measured: in the books of the
shop, in the answers of the plane, in the files.
"""
