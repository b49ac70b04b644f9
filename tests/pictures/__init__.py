"""What the README shows: terminal.svg is made by `tests.pictures.terminal`, page.png by `tests.serve.screenshots`."""
