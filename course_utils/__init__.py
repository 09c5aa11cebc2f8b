"""The small shared module of the course: data preparation, training safety, dashboards.

Import the module that you need, for example ``from course_utils import datasets``. Importing
``course_utils`` itself loads nothing else, so it is quick.
"""

__all__ = [
    "augmentation",
    "callbacks",
    "dashboards",
    "datasets",
    "exercises",
    "explanations",
    "profiles",
    "training",
]
