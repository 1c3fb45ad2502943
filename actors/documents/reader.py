"""The reader: one process for one document. Run by path, `python -I reader.py REQUEST`, never imported.

A worker process holds other people's work, so no PDF is parsed in it. The source comes on standard input; standard
output carries messages, one JSON object a line (see reading/book.py); what is made goes to the descriptor that REQUEST
names.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

if __name__ == "__main__":
    package = ModuleType("actors")
    # `import actors` is the worker's composition root; the reader needs some modules below it and nothing of a worker.
    package.__path__ = [str(Path(__file__).parents[1])]
    sys.modules["actors"] = package
    import_module("actors.documents.reading.process").run(sys.argv[1])
    # Straight out: PDFium's teardown of a hostile document is not worth running.
    os._exit(0)
