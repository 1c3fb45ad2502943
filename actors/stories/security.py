"""Security: stories about passwords, uploads, money and the like that do not say how misuse is met."""

from actors.stories.review import Review
from actors.stories.topics import Need, Topic, enter, review_topics, words

_AUTHORISED = words(
    r"authori[sz]\w*|permissions?|not allowed|forbidden|403|access control|only (?:the|an?|his|her|their|my|its|admins?|owners?)|"
    r"own(?:er|ers)?|denied|role[- ]based|rbac"
)
_AUDITED = words(r"audit\w*|logged|log entry|log entries|recorded|history|traceab\w*")

TOPICS = enter(
    (
        Topic(
            words(r"passwords?|passphrases?|pass ?codes?|pins?|credentials?"),
            (
                Need(
                    "password-storage",
                    words(r"hash\w*|salt\w*|argon2\w*|bcrypt|scrypt|pbkdf2"),
                    "Say how passwords are kept: as salted hashes only, never readable.",
                    "Given a password that has been set, when the stored record is read, then it holds a salted hash "
                    "and no password.",
                ),
                Need(
                    "password-guessing",
                    words(
                        r"rate[- ]limit\w*|lock(?:ed|s)?[- ]?out|lockout|throttl\w*|brute[- ]?force|too many|"
                        r"wrong (?:passwords?|attempts?)"
                    ),
                    "Say what meets guessing: after how many wrong tries, for how long.",
                    "Given 5 wrong passwords for one account within 15 minutes, when a sixth is tried, then it is "
                    "refused as too many.",
                ),
            ),
        ),
        Topic(
            words(r"log(?:ging)?[- ]?(?:in|on)|logins?|sign(?:ing)?[- ]?(?:in|on)|sso|authenticat\w+|sessions?"),
            (
                Need(
                    "login-failure",
                    words(r"wrong|invalid|fail\w*|incorrect|unknown (?:user|account)|refus\w+|reject\w*"),
                    "Say what a failed sign-in shows: the same words whether the account exists or not.",
                    "Given an unknown account or a wrong secret, when a sign-in is tried, then both are refused with "
                    "the same words.",
                ),
                Need(
                    "session-end",
                    words(r"log(?:ged|s)?[- ]?(?:out|off)|sign(?:ed|s)?[- ]?out|expir\w+|time[- ]?outs?|times out|idle"),
                    "Say when a session ends: after which idle time, and by whose hand.",
                    "Given a session without a request for 30 minutes, when the next one comes, then the session has expired.",
                ),
            ),
        ),
        Topic(
            words(
                r"upload\w*|attach\w*|import (?:a |the |my |an )?(?:files?|csv|excel|spreadsheets?|documents?|images?|photos?)"
            ),
            (
                Need(
                    "upload-type",
                    words(r"file types?|formats?|mime|extensions?|only (?:pdf|png|jpe?g|csv|images?)|content type"),
                    "Say which types of files are taken, judged by their content and not by their name.",
                    "Given a file whose content is of no listed file type, when it is sent, then it is refused and not kept.",
                ),
                Need(
                    "upload-size",
                    words(r"\d+ ?(?:kb|mb|gb|kib|mib|gib|bytes|megabytes)|max(?:imum)? size|too large|size limit"),
                    "Say how large a file may be, and what a larger one gets.",
                    "Given a file above 10 MB, when it is sent, then it is refused as too large before all of it has arrived.",
                ),
                Need(
                    "upload-content",
                    words(r"virus\w*|malware|scann?ed|scans?|quarantine|harmful"),
                    "Say how harmful content is met before anybody else opens the file.",
                    "Given a file with malware, when the scan finds it, then nobody can open it and its sender is told.",
                ),
            ),
        ),
        Topic(
            words(
                r"e-?mail(?: address(?:es)?)?|phone(?: numbers?)?|addresses|postal address|birth ?dates?|date of birth|"
                r"personal (?:data|information|details)|my (?:data|details|profile)|customer (?:data|details|records?)|profiles?|"
                r"health|medical|patients?|passports?|gdpr|location"
            ),
            (
                Need(
                    "personal-data-purpose",
                    words(r"gdpr|privacy|consent\w*|purpose|delet\w+ after|retention|retained|kept for|anonymi[sz]\w+|erased?"),
                    "Say what the personal data is kept for, how long, and how it is erased.",
                    "Given personal data whose purpose has ended, when its retention of [days] is over, then it is erased.",
                ),
                Need(
                    "personal-data-access",
                    _AUTHORISED,
                    "Say who may see it, and what anybody else gets.",
                    "Given somebody who is not its owner, when they ask for personal data, then it is refused as if "
                    "there were none.",
                ),
            ),
        ),
        Topic(
            words(
                r"pay(?:s|ing|ments?|ers?)?|credit cards?|debit cards?|check-?out|invoices?|refunds?|iban|bank accounts?|"
                r"subscriptions?|purchas\w+|billing|bill"
            ),
            (
                Need(
                    "payment-data",
                    words(r"pci|tokeni[sz]\w+|payment provider|encrypt\w+|tls|never stored|not stored"),
                    "Say where card or bank data goes: to the payment provider, encrypted, and into no log.",
                    "Given a payment, when its records and logs are read, then they hold the payment provider's token "
                    "and no number.",
                ),
                Need(
                    "payment-twice",
                    words(r"twice|double|duplicat\w+|idempot\w+|once|same payment|retr(?:y|ied)"),
                    "Say what keeps a second press of the button from charging twice.",
                    "Given a payment that was sent twice, when both arrive, then one is charged and both get its answer.",
                ),
                Need(
                    "payment-audit",
                    _AUDITED,
                    "Say what is recorded about who changed an amount of money, and when.",
                    "Given a change of an amount, when it is done, then an audit entry says who did it, when, and what "
                    "it was before.",
                ),
            ),
        ),
        Topic(
            words(
                r"admin(?:istrator)?s?|permissions?|privileges?|impersonat\w+|moderators?|superusers?|back ?office|"
                r"(?:delete|disable|ban|block|manage|create|invite) (?:an? |the |all )?(?:users?|accounts?|members?|customers?)"
            ),
            (
                Need(
                    "admin-authorisation",
                    _AUTHORISED,
                    "Say who may do this, and what happens to whoever may not.",
                    "Given somebody without the right to it, when they try, then it is refused and nothing changes.",
                ),
                Need(
                    "admin-audit",
                    _AUDITED,
                    "Say what the audit trail keeps of it: who, when, what it was before.",
                    "Given a change under this right, when it is done, then an audit entry says who did it, when, and "
                    "what it was before.",
                ),
            ),
        ),
        Topic(
            words(r"urls?|web ?addresses|hyperlinks?|links?|redirects?|webhooks?|callbacks?|iframes?|embed\w*"),
            (
                Need(
                    "url-target",
                    words(
                        r"https|allow[- ]?list\w*|whitelist\w*|internal address\w*|private address\w*|valid (?:url|link)|trusted"
                    ),
                    "Say which addresses are taken: https, from an allow-list, and none inside your own network.",
                    "Given an address that is not https or is an internal address, when it is entered, then it is refused.",
                ),
            ),
        ),
        Topic(
            words(r"search\w*|comments?|forms?|text fields?|enter|types? in|input|messages?|reviews?|posts?|rich text|markdown"),
            (
                Need(
                    "input-validation",
                    words(
                        r"validat\w+|invalid|sanit\w+|allowed characters|max(?:imum)? length|at most \d+ characters|"
                        r"escap\w+|too long"
                    ),
                    "Say which input is taken, how long it may be, and what else gets.",
                    "Given text above 1000 characters, when it is sent, then it is refused as too long and nothing is kept.",
                ),
                Need(
                    "input-output",
                    words(r"escap\w+|sanit\w+|script|xss|encod\w+|html|inert|as (?:plain )?text"),
                    "Say that what people write is shown as text and never run.",
                    "Given text that holds <script>, when it is shown to anybody, then it appears as plain text and "
                    "nothing runs.",
                ),
            ),
        ),
        Topic(
            words(r"exports?|downloads?|reports?|shar(?:e|es|ed|ing)|print(?:s|ed)?"),
            (
                Need(
                    "export-authorisation",
                    _AUTHORISED,
                    "Say whose data it may hold, and what a stranger with the address gets.",
                    "Given an address of somebody else's export, when it is opened without a right to it, then access is denied.",
                ),
            ),
        ),
        Topic(
            words(
                r"delet(?:e|es|ed|ing|ion)|remov(?:e|es|ed|ing|al)|cancel(?:s|led)? (?:my |an? |the )?(?:account|subscription)"
            ),
            (
                Need(
                    "deletion-undo",
                    words(r"confirm\w*|undo|undone|restor\w+|recover\w*|are you sure|bin|trash|grace"),
                    "Say what meets a slip: a question before it, or a time in which it can be undone.",
                    "Given an item that was deleted, when its owner takes that back within 30 days, then it is restored.",
                ),
            ),
        ),
        Topic(
            words(r"apis?|api[- ]keys?|access tokens?|tokens?|secrets?|integrat\w+|third[- ]part(?:y|ies)"),
            (
                Need(
                    "secret-expiry",
                    words(r"revok\w+|expir\w+|rotat\w+|scopes?|least privilege"),
                    "Say what a key or token may do, when it expires and how it is revoked.",
                    "Given a key that was revoked, when it is used, then the call is refused within 1 second.",
                ),
            ),
        ),
    )
)


def review_security(story: str) -> Review:
    """Look for what a story on a sensitive topic does not say, and add criteria for it."""
    return review_topics(story, TOPICS)
