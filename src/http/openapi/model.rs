//! The `{id}` of a path.

use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use crate::models::ModelId;

/// The name of a model, as the end of a path.
pub struct ModelName;

impl IntoParams for ModelName {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let name = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(ModelId::PATTERN))
            .max_length(Some(ModelId::MAX_BYTES));
        let id = ParameterBuilder::new()
            .name("id")
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(
                "A model's id, or an alias. Slashes may be sent as they are, or as `%2F`; `@revision` \
                 names a branch, tag or commit. A configured alias may have other characters.",
            ))
            .schema(Some(name))
            .example(Some("base".into()));
        vec![id.build()]
    }
}
