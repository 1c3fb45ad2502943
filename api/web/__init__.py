"""The pages for people: plain HTML, CSS and JavaScript modules, served as they are, without a build and without internet.

`assets/styles` has what all pages are made of (tokens, base, frame) and beside it a file for what one page alone has;
`assets/shared` likewise the session, the API, the feed and the frame; a page is a folder of scripts, an HTML file and a route.
"""
