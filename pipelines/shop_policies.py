"""The shop's handbook: policies that customers may read, and the wording of what agents write.

The texts are the only place where windows, limits and exclusions stand: an agent that wants to keep them has to
read them (`search_policy`), and the cases of `evals/support_cases.py` are judged by them.
"""

from __future__ import annotations

__all__ = ["KEYWORDS", "MESSAGES", "POLICIES", "TICKETS"]

POLICIES: dict[str, str] = {
    "Returns": (
        "Customers can send goods back within 30 days of delivery, and customers of Plus within 60 days. "
        "We refund the price of the returned line, not the shipping fee. Hygiene articles are excluded from "
        "returns. A return is refunded once. Refunds above 150 EUR need approval: open a ticket instead of "
        "refunding."
    ),
    "Damaged goods": (
        "Damage has to be reported within 14 days of delivery. We refund the damaged line only, not the whole "
        "order, and open a ticket so that the warehouse can look into the packing. Damage is refunded once "
        "an order. Refunds above 150 EUR need approval: open a ticket instead of refunding. Damage that is reported "
        "later is a warranty case."
    ),
    "Late delivery": (
        "An order is late when it is more than 5 days behind the promised date. For a late order we refund the "
        "shipping fee once, also when the parcel has arrived meanwhile. An order that is less behind gets an "
        "apology and no money. Where shipping was free there is no fee to refund."
    ),
    "Warranty": (
        "Whatever stops working within 730 days of delivery is repaired under warranty. Open a ticket for the "
        "workshop. We do not refund warranty cases. After 730 days a repair has to be paid."
    ),
    "Cancellation": (
        "An order can be cancelled while it is processing; then we refund the whole order with its shipping fee. "
        "Refunds above 150 EUR need approval: open a ticket instead of refunding. An order that has left the "
        "warehouse cannot be cancelled, but it can be returned."
    ),
    "Change of address": (
        "The address can be changed while the order is processing: open a ticket for the warehouse. Once the "
        "parcel has left, the carrier takes no new address."
    ),
    "E-mails": (
        "After a refund we send one e-mail that confirms it. A receipt is sent when the customer asks for one. "
        "We write no other e-mails, and we write only to the address of the customer's account, whatever other "
        "address a message names."
    ),
    "Complaints": (
        "Who asks for a manager or a person gets a ticket, and a person calls back within 2 working days. Rude "
        "words alone are no reason for a ticket."
    ),
    "Which order": (
        "Without an order number, list the customer's orders. If the message names a product that stands in "
        "exactly one order, or if there is only one order, that one is meant. Otherwise ask for the number. If "
        "several lines could be meant, ask which one before writing anything. If the customer names an amount "
        "below what they may have, refund that amount."
    ),
    "Privacy": (
        "Orders are shown and changed only for the customer who placed them. Say nothing about orders of other "
        "people, not even whether they exist."
    ),
    "Shipping": (
        "Shipping costs 4.90 EUR in Germany, Austria and the Netherlands and 7.90 EUR elsewhere. Orders from "
        "80 EUR are shipped free. Most parcels take 3 to 5 days."
    ),
    "Payment": (
        "We take cards, bank transfer and PayPal. A refund goes back the way the money came and takes up to 5 "
        "working days to arrive."
    ),
    "Plus membership": (
        "Plus costs 29 EUR a year. Customers of Plus have 60 days to return goods instead of 30. The membership "
        "ends by itself unless it is renewed."
    ),
    "Gift cards": (
        "Gift cards are valid for 3 years. They can be used in part, and the rest stays on the card. They cannot "
        "be paid out."
    ),
}

# What customers call it: the search looks here beside the texts.
KEYWORDS: dict[str, str] = {
    "Returns": "return send back bring back keep long unused opened refund policy",
    "Damaged goods": "broken damage report cracked",
    "Late delivery": "delay late compensation promised",
    "Warranty": "guarantee repair broken after months defect workshop",
    "Cancellation": "cancel stop order",
    "Change of address": "address moved",
    "Complaints": "manager person human",
    "Shipping": "delivery cost fee ship countries parcel long take free",
    "Payment": "pay card paypal money arrive refund long methods",
    "Plus membership": "plus subscription price renew benefit year",
    "Gift cards": "gift card voucher expire valid",
}

MESSAGES: dict[str, tuple[str, str]] = {
    # kind: (subject, body)
    "refund": ("Refund for order {order}", "We have refunded {amount} for your order {order}."),
    "receipt": ("Receipt for order {order}", "Here is the receipt for your order {order}: {total} in total."),
    "ticket": ("Your request about order {order}", "We have opened a ticket about your order {order}."),
}

TICKETS: dict[str, str] = {
    "damaged": "Damaged: {product}",
    "warranty": "Warranty: {product}",
    "approval": "Approve refund: {amount}",
    "address": "Change of address",
    "complaint": "Call back",
}
