"""The default segmenter: colour models, plane and silhouette agreement, a graph cut."""
