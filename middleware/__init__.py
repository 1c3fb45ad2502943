"""What happens around every attempt: Dramatiq middleware and the threads of a worker process that serve it."""
