// @ts-check
// Starts Swagger UI, which its own file has defined.
const swagger = /** @type {any} */ (window).SwaggerUIBundle;
swagger({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, layout: "BaseLayout" });
