"""What is true: tables, states, every SQL statement and the migrations. Knows no Dramatiq and no HTTP."""
