//! Links of the OpenAPI document (OpenAPI 3.1, "Link Object"): what is made, or listed,
//! can be asked for and acted on by its id. Tools follow them; so do stateful tests.

use std::collections::HashMap;

use utoipa::openapi::{
    OpenApi, RefOr,
    link::LinkBuilder,
    path::{Operation, PathItem},
    response::Response,
};

/// Of creations the id is the answer's, of lists that of the first item.
const SOURCES: [(&str, &str, &str); 2] = [
    ("post", "201", "$response.body#/id"),
    ("get", "200", "$response.body#/items/0/id"),
];

/// Adds links from each collection to the operations on its items.
pub fn add(document: &mut OpenApi) {
    let mut targets: HashMap<String, Vec<String>> = HashMap::new();
    for (path, item) in &document.paths.paths {
        // Items have one parameter, after the collection's path.
        let Some((collection, rest)) = path.split_once("/{id}") else {
            continue;
        };
        if rest.contains('{') {
            continue;
        }
        let names = operations(item).filter_map(|operation| operation.operation_id.clone());
        targets
            .entry(collection.to_owned())
            .or_default()
            .extend(names);
    }
    for (path, item) in &mut document.paths.paths {
        let Some(targets) = targets.get(path) else {
            continue;
        };
        for (method, status, id) in SOURCES {
            let operation = match method {
                "post" => &mut item.post,
                _ => &mut item.get,
            };
            let response = operation
                .as_mut()
                .and_then(|operation| operation.responses.responses.get_mut(status));
            if let Some(RefOr::T(response)) = response {
                link(response, targets, id);
            }
        }
    }
}

fn link(response: &mut Response, targets: &[String], id: &str) {
    for target in targets {
        let link = LinkBuilder::new()
            .operation_id(target)
            .parameter("id", id)
            .build();
        response.links.insert(target.clone(), link.into());
    }
}

fn operations(item: &PathItem) -> impl Iterator<Item = &Operation> {
    [&item.get, &item.post, &item.put, &item.delete]
        .into_iter()
        .flatten()
}
