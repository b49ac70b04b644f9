"""JSON in streaming text: one scanner, the cores on top of it, and their fast paths.

    scanner    checks one value, character by character, by `grammar`'s patterns
    documents  finds documents in text and recovers from broken ones (`recovery`)
    objects    the complete objects in a text; `fenced`: those in its code blocks; `frames`: as a dialect's frames;
               `objects_filter`: as commands and library use them; `repair`: broken ones as valid JSON
    fields     the values at JSONPaths (`path`), by `automaton` and `extract`; `ng`: in jsonpath-ng's dialect
    bulk       runs of whole values in large chunks; `levels`: the values that paths select in them, by `level`, `chain`
               and `tree`

Fast paths. Three kinds of text need no walk by states. Each fast path proves that its text is valid JSON, or leaves it
to the states; what comes out is the same either way, and the tests compare them at every cut.

1. Runs of whole objects outside of a document (`Documents.take_whole`), and of elements of an array that a path goes
   into (`Extraction.skip_watched`): `bulk` guesses where they end, and msgspec decodes them. `minified_objects` returns
   their text; `levels` what the paths select in them, level by level.
2. Other children of a container that a path goes into (`Extraction.skip_watched`): an array of scalars, or members,
   that no path selects, by a pattern.
3. Children of a container that no path goes into (`Scanner`): runs of them by a pattern.

1 costs an import of msgspec, the patterns some milliseconds to compile: both are done at the first large chunk, so that
a short stream does not pay for them.
"""
