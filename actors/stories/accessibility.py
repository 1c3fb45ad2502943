"""Accessibility: stories about screens that do not say how people without a mouse, good sight or hearing use them."""

from actors.stories.review import Review
from actors.stories.topics import Need, Topic, enter, review_topics, words

TOPICS = enter(
    (
        Topic(
            words(
                r"buttons?|click\w*|links?|forms?|fields?|menus?|dropdowns?|drop-downs?|check ?boxes|check ?box|screens?|pages?|"
                r"dialogs?|dashboards?|tabs?|icons?|websites?|web app|mobile app|user interface|ui|sliders?|pop-?ups?|modals?|"
                r"wizard|drag\w*|hover\w*|swip(?:e|es|ing)|scroll\w*|see|view|select"
            ),
            (
                Need(
                    "keyboard",
                    words(r"keyboards?|tab key|focus\w*|without a mouse|key ?strokes?|shortcuts?"),
                    "Say that all of it works with the keyboard alone, in a sensible order and with a visible focus "
                    "(WCAG 2.1.1, 2.4.7).",
                    "Given nothing but a keyboard, when all steps are done, then each can be reached and the focus is "
                    "visible throughout.",
                ),
                Need(
                    "screen-reader",
                    words(r"screen[- ]?readers?|aria|assistive|accessible names?|voice ?over|nvda|wcag"),
                    "Say what a screen reader says: each control's name, role and state (WCAG 4.1.2).",
                    "Given a screen reader, when a control gets the focus, then its name, role and state are spoken.",
                ),
                Need(
                    "contrast",
                    words(r"contrasts?|4\.5|wcag"),
                    "Say which contrast text and controls have: 4.5 to 1 for text, 3 to 1 for controls (WCAG 1.4.3, 1.4.11).",
                    "Given the default theme, when contrasts are measured, then text has 4.5 : 1 and controls 3 : 1, or above.",
                ),
            ),
        ),
        Topic(
            words(
                r"forms?|fields?|inputs?|enter|type in|fill (?:in|out)|check ?box(?:es)?|search box|dropdowns?|register|sign up"
            ),
            (
                Need(
                    "labels",
                    words(r"labels?|labell?ed|captioned"),
                    "Say that each field has a visible label that is tied to it (WCAG 1.3.1, 3.3.2).",
                    "Given a form, when a field is looked at or spoken, then a label that stays visible says what goes there.",
                ),
                Need(
                    "error-messages",
                    words(r"error messages?|errors? (?:is|are) (?:shown|spoken|announced|named)|announc\w+|names the field"),
                    "Say how errors are told: in words, beside the field, announced, and not by colour alone (WCAG 3.3.1).",
                    "Given a wrong entry, when it is sent, then an error message in words stands at the field and is announced.",
                ),
            ),
        ),
        Topic(
            words(r"images?|photos?|pictures?|icons?|logos?|avatars?|thumbnails?|illustrations?|screenshots?"),
            (
                Need(
                    "text-alternative",
                    words(r"alt(?:ernative)?[- ]texts?|text alternatives?|alt attributes?|described in words|descriptions?"),
                    "Say where the text that stands for an image comes from (WCAG 1.1.1).",
                    "Given an image with a meaning, when it cannot be seen, then a text alternative says the same.",
                ),
            ),
        ),
        Topic(
            words(r"videos?|audio|podcasts?|recordings?|livestreams?|calls?|webinars?"),
            (
                Need(
                    "captions",
                    words(r"captions?|subtitles?|transcripts?"),
                    "Say that there are captions and a transcript (WCAG 1.2.2, 1.2.3).",
                    "Given a video or a recording, when its sound is off, then captions and a transcript give all that is said.",
                ),
            ),
        ),
        Topic(
            words(r"colou?r(?:s|ed)?|red|green|yellow|orange|highlight\w*|greyed out|grayed out|traffic light"),
            (
                Need(
                    "colour-alone",
                    words(
                        r"colou?r alone|not (?:only )?by colou?r|also (?:a |an )?(?:text|icon|shape|pattern)s?|"
                        r"colou?r[- ]?blind\w*"
                    ),
                    "Say what tells the same without colour: words, a sign or a shape (WCAG 1.4.1).",
                    "Given a screen without colours, when a state is looked for, then words or a shape tell it and not "
                    "colour alone.",
                ),
            ),
        ),
        Topic(
            words(
                r"drag\w*|drop (?:it|them|files?)|swip(?:e|es|ing)|pinch\w*|gestures?|hover\w*|tooltips?|"
                r"double[- ]click\w*|long[- ]press"
            ),
            (
                Need(
                    "pointer-alternative",
                    words(
                        r"single (?:click|tap|pointer)|buttons? instead|alternative(?:ly)?|without (?:dragging|hovering|"
                        r"gestures?)"
                    ),
                    "Say how it is done without that movement, by single presses (WCAG 2.5.1, 2.5.7, 1.4.13).",
                    "Given somebody who cannot make that movement, when they use single presses, then they get the "
                    "same without dragging.",
                ),
            ),
        ),
        Topic(
            words(r"pop-?ups?|modals?|dialogs?|overlays?|lightbox"),
            (
                Need(
                    "dialog-focus",
                    words(r"escape|esc|focus (?:returns|goes back|moves|stays|trap\w*)|closed with"),
                    "Say where the focus goes when it opens and closes, and that Escape closes it (WCAG 2.1.2, 2.4.3).",
                    "Given an open dialog, when Escape is pressed, then it closes and the focus returns to where it was.",
                ),
            ),
        ),
        Topic(
            words(
                r"notif(?:y|ies|ied|ications?)|toasts?|alerts?|banners?|spinner|progress bar|live updates?|updates? automatically"
            ),
            (
                Need(
                    "status-messages",
                    words(r"announc\w+|aria-live|live region|role ?= ?.?(?:status|alert)|spoken"),
                    "Say that what appears by itself is announced and stays long enough to be read (WCAG 4.1.3, 2.2.1).",
                    "Given a message that appears by itself, when it comes, then it is announced and stays until it is "
                    "dismissed.",
                ),
            ),
        ),
        Topic(
            words(r"charts?|graphs?|diagrams?|maps?|heat ?maps?|visuali[sz]ations?|sparklines?"),
            (
                Need(
                    "chart-alternative",
                    words(r"tables? of (?:the )?values|data tables?|as a table|described in words|text alternatives?"),
                    "Say where its values can be read as a table or in words (WCAG 1.1.1).",
                    "Given a chart, when it cannot be seen, then the same values can be read as a table.",
                ),
            ),
        ),
        Topic(
            words(r"animat\w+|blink\w*|flash\w*|carousels?|auto-?play\w*|parallax|slide ?shows?|countdowns?|auto[- ]?scroll\w*"),
            (
                Need(
                    "motion",
                    words(r"reduced?[- ]motion|paus(?:e|es|ed|ing)|stopped|can be stopped|turn(?:ed)? off"),
                    "Say how motion is paused, and that a wish for reduced motion is met (WCAG 2.2.2, 2.3.1).",
                    "Given a wish for reduced motion in the system's settings, when the page opens, then nothing moves "
                    "by itself.",
                ),
            ),
        ),
    )
)


def review_accessibility(story: str) -> Review:
    """Look for what a story about a screen does not say to those who use it in another way, and add criteria for it."""
    return review_topics(story, TOPICS)
