//! Reading the API's refusals. Knows status codes, not what a caller wanted.

use kube::Error;

/// The HTTP status codes that callers decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the codes' own names
pub enum StatusCode {
    BadRequest,
    Forbidden,
    NotFound,
    Conflict,
    AlreadyExists,
    Gone,
    Invalid,
    TooManyRequests,
    Other(u16),
}

/// Short questions about an API error.
pub trait ApiError {
    /// What the server answered; `None` when no answer came (connection, decoding).
    fn status(&self) -> Option<StatusCode>;

    /// 404: no such object.
    fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NotFound)
    }
    /// 409 Conflict: the resourceVersion or UID precondition did not hold.
    fn is_conflict(&self) -> bool {
        self.status() == Some(StatusCode::Conflict)
    }
    /// 409 AlreadyExists: the name is taken.
    fn is_already_exists(&self) -> bool {
        self.status() == Some(StatusCode::AlreadyExists)
    }
    /// 403, because the namespace is going away: nothing can be made there any more, and nothing is
    /// wrong.
    fn is_namespace_terminating(&self) -> bool;
    /// What the server said in its own words, else the error's text: fit for an event's message.
    fn text(&self) -> String;
}

impl ApiError for Error {
    fn status(&self) -> Option<StatusCode> {
        let Error::Api(status) = self else {
            return None;
        };
        Some(match status.code {
            400 => StatusCode::BadRequest,
            403 => StatusCode::Forbidden,
            404 => StatusCode::NotFound,
            409 if status.reason == "AlreadyExists" => StatusCode::AlreadyExists,
            409 => StatusCode::Conflict,
            410 => StatusCode::Gone,
            422 => StatusCode::Invalid,
            429 => StatusCode::TooManyRequests,
            other => StatusCode::Other(other),
        })
    }

    fn is_namespace_terminating(&self) -> bool {
        let Error::Api(status) = self else {
            return false;
        };
        let details = status.details.as_ref();
        details.is_some_and(|details| {
            let mut causes = details.causes.iter();
            causes.any(|cause| cause.reason == "NamespaceTerminating")
        })
    }

    fn text(&self) -> String {
        match self {
            Error::Api(status) if !status.message.is_empty() => status.message.clone(),
            other => other.to_string(),
        }
    }
}

/// The HTTP code of an answer, `None` when there was none.
pub fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}
