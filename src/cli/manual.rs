//! `tonearm completions` and `tonearm man`: what shells and readers are told of the commands, out of their definitions.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, Done, Failure};

const NAME: &str = "tonearm";

#[derive(Args)]
pub struct Completions {
    /// For which shell; in bash: `source <(tonearm completions bash)`
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Args)]
pub struct Man {
    /// Where the pages go; it is made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Completions {
    pub fn run(&self) -> Done {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), NAME, &mut script);
        io::stdout().write_all(&script).map_err(|error| Failure::Failed(error.to_string()))
    }
}

impl Man {
    pub fn run(&self) -> Done {
        let named = |error: io::Error| Failure::Failed(format!("{}: {error}", self.folder.display()));
        fs::create_dir_all(&self.folder).map_err(named)?;
        clap_mangen::generate_to(Arguments::command(), &self.folder).map_err(named)
    }
}
