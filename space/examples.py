"""Examples: sentences of our own, Marathi first; the first is answered when the page opens, the last is put to a test."""

EXAMPLES = (
    "शेवटच्या षटकात दोन षटकार मारून संघाने सामना जिंकला",
    "नव्या फोनची बॅटरी दोन दिवस टिकते असा कंपनीचा दावा",
    "पावसाळ्यात पाणी उकळून प्यावे, असा डॉक्टरांचा सल्ला",
    "दहावीच्या परीक्षेचा निकाल उद्या दुपारी जाहीर होणार",
    "शहर में नई मेट्रो लाइन का काम अगले साल शुरू होगा",
    "The film's songs are better than its story",
)

WITH_NUMBERS = "भारताने 210 धावा करून पहिला सामना ५ गडी राखून जिंकला"  # in both digits, for the stress test
