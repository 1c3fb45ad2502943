"""Stories: reviewers that read user stories and revise them."""
