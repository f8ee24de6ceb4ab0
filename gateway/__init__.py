"""The notification gateway: whatever used to send mail through SMTP AUTH posts here; it is delivered and never lost.

The way of one notification, as the modules stand:

    api.py          a request comes in; guard.py asks from which web site, auth.py who sends it, throttle.py how often
                    (client.py: from where); security_events.py writes down who was kept out; queues.py takes what
                    comes by queue
    sources/        its payload becomes a Notification            (SOCKET 1: one module per kind);
                    filetypes.py says what a visitor's file is; threads.py keeps what is large away from the loop
    pipeline.py     accept(): routing.py says to whom (expressions.py: an owner's `match`), rendering.py makes each
                    Message, capacity.py says whether there is room,
    stores/         the store makes them durable                  (SOCKET 3: sqlite, azure) - and only now 202
    delivery.py     claim; pacing.py says whose turn it is, suppressions.py who gets no mail; send, settle; retry.py
                    decides what follows a failure, ways.py who else may send
    transports/     the provider gets it                          (SOCKET 2: acs, graph, capture)
    reports.py      what it says of each recipient later goes to the ledger
    upkeep.py       sweep: whatever is due and has no doorbell is rung again

Values travel forward only: payload → Notification → Message → Receipt → ledger. wiring.py is the one place that knows
all parts; host.py and listener.py run them on one machine (protocol.py and connections.py: how long a caller is waited
for), function_app.py, asgi.py and triggers.py on Azure Functions; packages.py says there what cannot be imported.
"""

__version__ = "0.1.0"
