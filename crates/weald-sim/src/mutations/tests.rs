//! Each rule is missed when it is left out.

use super::*;
