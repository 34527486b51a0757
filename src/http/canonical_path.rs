//! ARM ids are matched without case, the router with it: the fixed words of a path are put into their one spelling
//! before routing. Names stay as the caller wrote them.

use actix_web::dev::ServiceRequest;
use actix_web::http::Uri;
use actix_web::http::uri::PathAndQuery;

/// Words that stand in key positions of our paths.
const WORDS: [&str; 14] = [
    "subscriptions",
    "resourceGroups",
    "providers",
    "workspaces",
    "onlineEndpoints",
    "services",
    "token",
    "listKeys",
    "regenerateKeys",
    "deployments",
    "roleAssignments",
    "roleDefinitions",
    "operations",
    "operationResults",
];
const NAMESPACES: [&str; 2] = ["Microsoft.MachineLearningServices", "Microsoft.Authorization"];
/// v1 paths begin with two segments of their own.
const V1_PREFIX: [&str; 2] = ["modelmanagement", "v1.0"];

/// Rewrites the request's path when some fixed word of it is in another case.
pub fn canonicalize(request: &mut ServiceRequest) {
    let uri = &request.head().uri;
    let Some(path) = canonical(uri.path()) else { return };
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    // The text was a lawful path before and only letters changed their case.
    parts.path_and_query = PathAndQuery::try_from(path_and_query).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
}

/// The path in canonical spelling; `None` when it is that already, or none of ours.
fn canonical(path: &str) -> Option<String> {
    let first = path.split('/').nth(1)?;
    let is = |word: &str| first.eq_ignore_ascii_case(word);
    if !is("subscriptions") && !is("providers") && !is(V1_PREFIX[0]) {
        return None;
    }
    let mut out: Vec<&str> = Vec::with_capacity(16);
    let mut segments = path.split('/').skip(1).peekable();
    if is(V1_PREFIX[0]) {
        out.extend(
            V1_PREFIX
                .iter()
                .zip(segments.by_ref())
                .map(|(word, given)| spelled(given, std::slice::from_ref(word))),
        );
    }
    while let Some(key) = segments.next() {
        let key = spelled(key, &WORDS);
        out.push(key);
        if let Some(value) = segments.next() {
            // A namespace is a fixed word in a value position.
            out.push(if key == "providers" { spelled(value, &NAMESPACES) } else { value });
        }
    }
    let spelling = out.iter().fold(String::with_capacity(path.len()), |text, segment| text + "/" + segment);
    (spelling != path).then_some(spelling)
}

fn spelled<'a>(given: &'a str, words: &[&'static str]) -> &'a str {
    words.iter().find(|word| word.eq_ignore_ascii_case(given)).copied().unwrap_or(given)
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn fixed_words_are_spelled_and_names_kept() {
        let path = "/SUBSCRIPTIONS/Token/resourcegroups/Services/Providers/microsoft.machinelearningservices/Workspaces/Ws/onlineendpoints/Token/TOKEN";
        let expected = "/subscriptions/Token/resourceGroups/Services/providers/Microsoft.MachineLearningServices/workspaces/Ws/onlineEndpoints/Token/token";
        assert_eq!(canonical(path).as_deref(), Some(expected));
        assert_eq!(canonical(expected), None);
        let v1 = canonical("/ModelManagement/V1.0/subscriptions/s/resourceGroups/g");
        assert_eq!(v1.as_deref(), Some("/modelmanagement/v1.0/subscriptions/s/resourceGroups/g"));
        assert_eq!(canonical("/oauth2/TOKEN"), None);
    }
}
