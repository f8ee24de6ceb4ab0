"""The floor of a cold start: the same triggers come in, nothing is done."""

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.function_name("http")
@app.route("{*route}")
async def http(req: func.HttpRequest) -> func.HttpResponse:
    """Answer."""
    return func.HttpResponse(req.method, status_code=202)


@app.function_name("sweep")
@app.timer_trigger("timer", "0 * * * * *")
async def sweep(timer: func.TimerRequest) -> None:
    """Nothing."""


@app.function_name("outbox")
@app.queue_trigger("msg", "outbox", "AzureWebJobsStorage", data_type=func.DataType.BINARY)
async def outbox(msg: func.QueueMessage) -> None:
    """Nothing."""
