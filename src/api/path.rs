//! Every spelling of a route becomes one.
//!
//! Belongs here: `/beta`, `/communications/calls('…')`, `microsoft.graph.record` and letter case. Does not: what the routes
//! do. It works outside the router, which can neither ignore case nor take a key in parentheses.

use axum::http::{Request, Uri};

/// The application that a path names, to be held against the token's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedApplication(pub String);

/// Rewrites a request's path.
pub fn normalise<B>(mut request: Request<B>) -> Request<B> {
    let Some((path, application)) = canonical(request.uri().path()) else { return request };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(uri) = format!("{path}{query}").parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    if let Some(application) = application {
        request.extensions_mut().insert(NamedApplication(application));
    }
    request
}

/// The one spelling of a path about calls, and the application it names; `None` for all other paths.
fn canonical(path: &str) -> Option<(String, Option<String>)> {
    let mut segments = Vec::new();
    for segment in path.strip_prefix('/')?.split('/') {
        match segment.strip_suffix("')").and_then(|head| head.split_once("('")) {
            Some((name, key)) => segments.extend([name, key]),
            None => segments.push(segment),
        }
    }
    let is = |segment: &str, word: &str| segment.eq_ignore_ascii_case(word);
    let mut rest = segments.as_slice();
    if let [base, tail @ ..] = rest
        && (is(base, "beta") || is(base, "v1.0"))
    {
        rest = tail;
    }
    let (application, rest) = match rest {
        [root, calls, tail @ ..] if (is(root, "app") || is(root, "communications")) && is(calls, "calls") => (None, tail),
        [root, id, calls, tail @ ..] if is(root, "applications") && is(calls, "calls") => (Some((*id).to_owned()), tail),
        _ => return None,
    };
    let path = match rest {
        [] => "/calls".to_owned(),
        [id] => format!("/calls/{id}"),
        [id, operations] if is(operations, "operations") => format!("/calls/{id}/operations"),
        [id, operations, operation] if is(operations, "operations") => format!("/calls/{id}/operations/{operation}"),
        [id, action] => {
            let action = action.to_ascii_lowercase();
            format!("/calls/{id}/{}", action.strip_prefix("microsoft.graph.").unwrap_or(&action))
        }
        _ => return None,
    };
    Some((path, application))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_route_is_one() {
        for path in [
            "/app/calls/desk/record",
            "/App/Calls/desk/Record",
            "/beta/app/calls/desk/microsoft.graph.record",
            "/v1.0/communications/calls/desk/record",
            "/V1.0/Communications/Calls('desk')/Microsoft.Graph.Record",
        ] {
            assert_eq!(canonical(path), Some(("/calls/desk/record".to_owned(), None)), "{path}");
        }
        let named = canonical("/beta/applications/bot/calls/desk/operations('7')");
        assert_eq!(named, Some(("/calls/desk/operations/7".to_owned(), Some("bot".to_owned()))));
        assert_eq!(canonical("/communications/calls").unwrap().0, "/calls");
    }

    #[test]
    fn other_paths_are_left_alone() {
        for path in ["/", "/healthz", "/recordings/1", "/app", "/calls/x", "/app/calls/a/b/c/d", "/beta/beta/app/calls"] {
            assert_eq!(canonical(path), None, "{path}");
        }
    }
}
