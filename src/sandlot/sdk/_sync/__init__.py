# Generated from ../_async/__init__.py by script/generate-sync: change that file, not this one.
