"""Settings of the verbs from files, presets and the environment.

The click options of the verbs are the definition: keys, types and the JSON Schema follow from
them. Each source is a :class:`Layer` of tables; higher layers win, key by key, and what they give
is handed to click as its ``default_map``, so that click parses it as it parses flags.
"""
