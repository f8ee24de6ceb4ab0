"use strict";
// Shows /openapi.json. Keys that are typed stay on the page, and no other server is asked whether the description is valid.

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: false,
  queryConfigEnabled: false,
  validatorUrl: null,
  // Behind a name that the browser does not trust without TLS, only this tells that no other site's page asks.
  requestInterceptor: (request) => ({ ...request, headers: { ...request.headers, "X-Requested-With": "docs" } }),
});
