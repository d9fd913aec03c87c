//! The OpenAPI document, completed with what is said of every route alike.

use armour_api::ProblemType;

use super::{links, problems, reference};

/// What is said of every route alike. `by_caller` are the problems of who may call a
/// route, by its method and path.
pub fn complete(
    document: &mut utoipa::openapi::OpenApi,
    by_caller: impl Fn(&str, &str) -> Vec<ProblemType>,
) {
    name_operations(document);
    links::add(document);
    problems::describe(document, by_caller);
    reference::describe(document);
}

/// Names each operation by method and path: handlers of two resources may have
/// the same name, an operation's must be unique (OpenAPI 3.1, section 4.8.10).
fn name_operations(document: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let name: Vec<&str> = path
            .trim_start_matches("/v1/")
            .split(['/', '-', '{', '}', '.'])
            .filter(|part| !part.is_empty())
            .collect();
        let name = name.join("_");
        let methods = [
            ("get", &mut item.get),
            ("post", &mut item.post),
            ("put", &mut item.put),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in methods {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}_{name}"));
            }
        }
    }
}

/// What stands in it besides the routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Armour", description = "Armour's control plane."),
    components(schemas(armour_api::Event, armour_api::PairSort, armour_api::Problem)),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
pub struct ApiDoc;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi
            .components
            .get_or_insert_default()
            .add_security_scheme("bearer", scheme);
    }
}
