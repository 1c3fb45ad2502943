"""The documents workload: a PDF goes in; its text, chapters, description and HTML come out."""
