"""A notification, as `{"secret", "headers", "body"}` on standard input, verified with the library of Standard Webhooks."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

told = json.load(sys.stdin)
webhook = Webhook(told["secret"])
webhook.verify(told["body"], told["headers"])
try:
    webhook.verify(told["body"] + " ", told["headers"])
except WebhookVerificationError:
    pass
else:
    raise AssertionError("an altered body passes")
