"""The switchboard: every trigger of Azure Functions comes in here, one line of work each goes out to the gateway.

Importing this file must never fail, or the host serves 404 on every route and says nothing. So it reads no
configuration, and the gateway is imported by the first invocation, which can answer with the reason.
"""

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.function_name("http")
@app.route("{*route}")
async def http(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Every path and every method; the keys of the sources are checked behind the bridge."""
    from gateway import asgi

    answer = await asgi.BRIDGE(req.method, req.url, req.headers, req.get_body(), context.trace_context.trace_parent)
    response = func.HttpResponse(answer.body, status_code=answer.status, mimetype="")  # "": the host sends no type
    response.headers.extend(answer.headers)
    return response


@app.function_name("sweep")
@app.timer_trigger("timer", "0 * * * * *")
async def sweep(timer: func.TimerRequest, context: func.Context) -> None:
    """Every minute: ring for what is due, purge what is old, say what waits."""
    from gateway import packages

    with packages.complete():
        from gateway import triggers
    await triggers.on_timer(context.trace_context.trace_parent, late=timer.past_due)


def on_queue(queue: str) -> None:
    """A function for each queue, named as the queue is."""

    async def run(msg: func.QueueMessage, context: func.Context) -> None:
        from gateway import packages

        with packages.complete():
            from gateway import triggers
        await triggers.on_queue(queue, msg.get_body(), msg.id or "", context.trace_context.trace_parent)

    # As bytes: in text the host looks for fields of its own ("id", "InsertionTime"), and believes them.
    trigger = app.queue_trigger("msg", queue, "AzureWebJobsStorage", data_type=func.DataType.BINARY)
    app.function_name(queue.replace("-", "_"))(trigger(run))


on_queue("notifications")  # the native JSON with its source, for whoever cannot or need not wait for an answer
on_queue("notifications-poison")
on_queue("outbox")  # doorbells: a message's id, and nothing else
on_queue("outbox-poison")
on_queue("outbox-high")
on_queue("outbox-high-poison")
on_queue("delivery-reports")  # Event Grid's word about each recipient
on_queue("delivery-reports-poison")
