"""The box office: what a theatre has to do after each show."""
