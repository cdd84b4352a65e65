//! `caddis why`

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::args::{Global, WhyArgs};
use super::{Outcome, open, print_line, render, select};
use crate::backup::sources::absolute;
use crate::backup::{self, Sources};
use crate::error::Result;
use crate::format::name::TreePath;
use crate::progress::Context;
use crate::select::Rule;
use crate::source::{Answer, Choice, why};

pub(super) fn run(global: &Global, args: &WhyArgs, cx: &Context<'_>) -> Result<Outcome> {
    let rules = select::rules(&args.select)?;
    let sources = if args.source.is_empty() {
        backup::known_sources(&open::open(global, cx)?, cx)?
    } else {
        let sources = Sources::new(&args.source)?;
        sources.paths().iter().filter_map(|path| TreePath::from_typed(path).ok()).collect()
    };
    let own = backup::identities(&open::own_folders(global)?);
    let choice = Choice { rules: &rules, own: &own, progress: cx.progress };
    let mut documents = Vec::new();
    for path in &args.paths {
        let answer = ask(&choice, &sources, path)?;
        if global.json {
            documents.push(answer.json());
        } else {
            print_line(&answer.line())?;
        }
    }
    if global.json {
        print_line(&render::json_line(&Value::Array(documents)))?;
    }
    Ok(Outcome::Done)
}

/// A path, and what becomes of it; nothing if it lies below no source.
struct Asked {
    path: TreePath,
    answer: Option<Answer>,
}

fn ask(choice: &Choice<'_>, sources: &[TreePath], path: &Path) -> Result<Asked> {
    let is_folder = path.as_os_str().as_bytes().ends_with(b"/");
    let path = absolute(path)?;
    let source = sources.iter().find(|source| holds(source, &path));
    Ok(Asked { answer: source.map(|source| why(choice, source, &path, is_folder)), path })
}

fn holds(source: &TreePath, path: &TreePath) -> bool {
    path.to_path_buf().starts_with(source.to_path_buf())
}

impl Asked {
    fn line(&self) -> String {
        let of = |rule: &Rule| render::printable(rule.to_string().as_bytes());
        let what = match &self.answer {
            None => "left out: it lies below no source".to_owned(),
            Some(Answer::Source) => "taken: it is a source".to_owned(),
            Some(Answer::Taken(None)) => "taken: no rule leaves it out".to_owned(),
            Some(Answer::Taken(Some(rule))) => format!("taken by {}", of(rule)),
            Some(Answer::LeftOut { item, rule }) if *item == self.path => format!("left out by {}", of(rule)),
            Some(Answer::LeftOut { item, rule }) => format!("left out with {} by {}", render::path(item), of(rule)),
            Some(Answer::Emptied { folder, rule }) => {
                format!("left out with what lies in {} by {}", render::path(folder), of(rule))
            }
            Some(Answer::Own { folder }) => {
                format!("left out: {} is the repository, or a folder of caddis", render::path(folder))
            }
            Some(Answer::Socket) => "left out: it is a socket".to_owned(),
        };
        format!("{}: {what}", render::path(&self.path))
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        render::put_path(&mut object, &self.path.absolute());
        let (action, reason, at, rule) = match &self.answer {
            None => ("excluded", "no_source", None, None),
            Some(Answer::Source) => ("included", "source", None, None),
            Some(Answer::Taken(rule)) => {
                ("included", if rule.is_some() { "rule" } else { "no_rule" }, None, rule.as_ref())
            }
            Some(Answer::LeftOut { item, rule }) => ("excluded", "rule", Some(item), Some(rule)),
            Some(Answer::Emptied { folder, rule }) => ("excluded", "contents", Some(folder), Some(rule)),
            Some(Answer::Own { folder }) => ("excluded", "own_folder", Some(folder), None),
            Some(Answer::Socket) => ("excluded", "socket", None, None),
        };
        object.insert("action".to_owned(), json!(action));
        object.insert("reason".to_owned(), json!(reason));
        if let Some(at) = at {
            render::put_item(&mut object, &at.absolute());
        }
        if let Some(rule) = rule {
            object.insert("rule".to_owned(), json!(String::from_utf8_lossy(&rule.text)));
            render::put_origin(&mut object, &rule.origin);
        }
        Value::Object(object)
    }
}
