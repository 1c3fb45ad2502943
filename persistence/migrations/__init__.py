"""The migrations: Alembic's environment, the scripts in versions/, and the SQL that only one kind of database has."""
