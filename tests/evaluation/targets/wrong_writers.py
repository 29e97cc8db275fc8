"""A shop's agent and nine candidates: eight write something else, one says something else and writes the same."""

from shadoweval import tool


@tool(effect="read")
def look_up(order):
    return {"order": order, "total": 990, "customer": f"{order}@mail.example"}


@tool(effect="write")
def refund(order, cents):
    return {"refund_id": 7, "order": order, "cents": cents}


@tool(effect="write")
def close_order(order):
    return "closed"


@tool(effect="write")
def send_mail(to, body):
    return "sent"


def parts(question):
    """`refund K-7` or `where K-7`."""
    return question.split()


def served(question):
    wish, order = parts(question)
    found = look_up(order)
    if wish == "where":
        return f"{order}: {found['total']}"
    refund(order, found["total"])
    close_order(order)
    send_mail(found["customer"], f"refunded {order}")
    return "refunded"


def same(question):
    return served(question) + ", as you wished"


def hundredfold(question):
    wish, order = parts(question)
    found = look_up(order)
    if wish == "refund":
        refund(order, found["total"] * 100)
        close_order(order)
        send_mail(found["customer"], f"refunded {order}")
    return "refunded"


def another_order(question):
    wish, order = parts(question)
    found = look_up(order)
    if wish == "refund":
        refund(order + "0", found["total"])
        close_order(order)
        send_mail(found["customer"], f"refunded {order}")
    return "refunded"


def another_customer(question):
    wish, order = parts(question)
    found = look_up(order)
    if wish == "refund":
        refund(order, found["total"])
        close_order(order)
        send_mail("someone-else1@mail.example", f"refunded {order}")
    return "refunded"


def twice(question):
    wish, order = parts(question)
    found = look_up(order)
    if wish == "refund":
        refund(order, found["total"])
        refund(order, found["total"])
        close_order(order)
        send_mail(found["customer"], f"refunded {order}")
    return "refunded"


def never(question):
    look_up(parts(question)[1])
    return "refunded"


def spam(question):
    answer = served(question)
    if answer == "refunded":
        send_mail("everybody1@mail.example", "Buy more!")
    return answer


def wrong_order(question):
    wish, order = parts(question)
    found = look_up(order)
    if wish == "refund":
        close_order(order)
        refund(order, found["total"])
        send_mail(found["customer"], f"refunded {order}")
    return "refunded"


def writes_where_it_should_read(question):
    wish, order = parts(question)
    if wish == "where":
        refund(order, 990)
        return "refunded"
    return served(question)


def other_words(question):
    """The same mail to the same customer, worded otherwise."""
    wish, order = parts(question)
    found = look_up(order)
    if wish == "refund":
        refund(order, found["total"])
        close_order(order)
        send_mail(found["customer"], f"We have paid back what {order} cost.")
    return "refunded"


def looks_twice(question):
    """Reads an order again, of which production's answer has the incumbent's refund in it by then."""
    look_up(parts(question)[1])
    return served(question)


class Desk:
    """The shop as a world of its own."""

    def __init__(self):
        self.refunds = []
        self.closed = set()
        self.mails = []

    def refund(self, order, cents):
        self.refunds.append((order, cents))
        return {"refund_id": len(self.refunds), "order": order, "cents": cents}

    def close_order(self, order):
        self.closed.add(order)
        return "closed"

    def send_mail(self, to, body):
        self.mails.append(to)
        return "sent"


# Stand-ins.


def looked_up(order):
    return {"order": order, "total": 990, "customer": f"{order}@mail.example"}


def refunded(order, cents):
    return {"refund_id": 8, "order": order, "cents": cents}


def closed(order):
    return "closed"


def sent(to, body):
    return "sent"
