"""GraphQL: the second door to runs, jobs and the queue, on the functions that REST is made of."""
