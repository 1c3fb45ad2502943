"""The pages for people: plain HTML, CSS and JavaScript modules, served as they are, without a build and without internet."""
