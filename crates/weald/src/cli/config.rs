//! `weald config`.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use super::{
    failure::Failure,
    options::{NodeOptions, Setting, Settings},
    output::Output,
};

/// Tells what holds for a node that is started like this, and who says so.
#[derive(Args, Debug)]
pub(crate) struct Config {
    #[command(flatten)]
    options: NodeOptions,
}

impl Config {
    /// Runs the verb.
    pub(crate) fn run(
        self,
        data_dir: Option<&Path>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let settings = self.options.resolve(data_dir)?;
        Settings::of(&settings)?;
        for setting in &settings {
            output.answer(|| plain(setting), || json(setting))?;
        }
        Ok(())
    }
}

fn plain(setting: &Setting) -> String {
    let values = setting.values.join(",");
    format!("{:<20}\t{values}\t({})", setting.name, setting.source)
}

fn json(setting: &Setting) -> Value {
    let value = match (setting.is_list, &*setting.values) {
        (true, values) => json!(values),
        (false, [value]) => json!(value),
        (false, _) => Value::Null,
    };
    json!({ "name": setting.name, "value": value, "source": setting.source.to_string() })
}
