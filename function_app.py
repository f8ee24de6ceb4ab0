"""The switchboard: every trigger of Azure Functions comes in here, one line of work each goes out to the gateway.

Importing this file must never fail, or the host serves 404 on every route and says nothing. So it reads no
configuration, and the gateway is imported by the first invocation, which can answer with the reason.
"""

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.function_name("http")
@app.route("{*route}")
async def http(req: func.HttpRequest) -> func.HttpResponse:
    """Every path and every method; the keys of the sources are checked behind the bridge."""
    from gateway import asgi

    answer = await asgi.BRIDGE(req.method, req.url, req.headers, req.get_body())
    response = func.HttpResponse(answer.body, status_code=answer.status, mimetype="")  # "": the host sends no type
    response.headers.extend(answer.headers)
    return response
