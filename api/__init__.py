"""What callers may say: Litestar routes, authentication, problems, limits and the command line."""
