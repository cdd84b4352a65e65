//! `caddis key`

use serde_json::{Value, json};

use super::args::{Global, KeyCommand};
use super::render::{json_line, local_time, printable, rfc3339, table};
use super::{Outcome, open, print_line};
use crate::error::Result;
use crate::format::slot::SlotKind;
use crate::progress::Context;
use crate::repo::access::SlotInfo;

pub(super) fn run(global: &Global, command: &KeyCommand, cx: &Context<'_>) -> Result<Outcome> {
    let (mut repository, key) = open::open_with_key(global, cx)?;
    match command {
        KeyCommand::List => print_slots(global, &repository.slots(cx)?)?,
        KeyCommand::Add(args) => {
            let id = repository.add_key(&open::further_key(&args.key, &args.name, cx)?, cx)?;
            say(global, "added", &id.to_string(), &id.short())?;
        }
        KeyCommand::Remove { id } => {
            let id = repository.remove_key(id, cx)?;
            say(global, "removed", &id.to_string(), &id.short())?;
        }
        KeyCommand::Passwd(args) => {
            let id = repository.change_key(&key, &open::further_key(args, "", cx)?, cx)?;
            say(global, "changed", &id.to_string(), &id.short())?;
        }
    }
    Ok(Outcome::Done)
}

fn say(global: &Global, what: &str, id: &str, short: &str) -> Result<()> {
    if global.json {
        print_line(&json!({ "message_type": what, "id": id }).to_string())
    } else {
        super::report(global, &format!("{what} key {short}"))
    }
}

fn print_slots(global: &Global, slots: &[SlotInfo]) -> Result<()> {
    if global.json {
        let list: Vec<Value> = slots.iter().map(slot_json).collect();
        return print_line(&json_line(&Value::Array(list)));
    }
    let head = ["", "ID", "Opens with", "Name", "Made", "By", "Rights"];
    print_line(&table(&head, &[], slots.iter().map(row).collect()))
}

fn row(slot: &SlotInfo) -> Vec<String> {
    let access = slot.access.as_ref();
    let text = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
    vec![
        if slot.current { "*".to_owned() } else { String::new() },
        slot.id.short(),
        kind(slot).to_owned(),
        text(access.map(|access| printable(access.label.as_bytes()))),
        text(access.map(|access| local_time(access.time))),
        text(access.map(|access| printable(format!("{}@{}", access.user, access.host).as_bytes()))),
        text(access.map(|access| access.rights.to_string())),
    ]
}

const fn kind(slot: &SlotInfo) -> &'static str {
    match slot.kind {
        SlotKind::Passphrase(_) => "passphrase",
        SlotKind::KeyFile => "key file",
    }
}

fn slot_json(slot: &SlotInfo) -> Value {
    let access = slot.access.as_ref();
    json!({
        "id": slot.id.to_string(),
        "short_id": slot.id.short(),
        "current": slot.current,
        "kind": kind(slot),
        "name": access.map(|access| &access.label),
        "created": access.map(|access| rfc3339(access.time)),
        "hostname": access.map(|access| &access.host),
        "username": access.map(|access| &access.user),
        "rights": access.map(|access| access.rights.to_string()),
    })
}
